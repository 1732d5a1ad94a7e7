// What scoring.py says, for promptfoo: the score of a JavaScript assertion, true or false.
// https://www.promptfoo.dev/docs/configuration/expected-outputs/javascript/

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function same(wanted, given) {
  if (Array.isArray(wanted)) {
    return Array.isArray(given) && wanted.length === given.length && wanted.every((each, i) => same(each, given[i]));
  }
  if (isObject(wanted)) {
    const keys = isObject(given) ? new Set([...Object.keys(wanted), ...Object.keys(given)]) : null;
    return keys !== null && [...keys].every((key) => key in wanted && key in given && same(wanted[key], given[key]));
  }
  return wanted === given;
}

const bare = (text) => text.normalize("NFC").toLowerCase().replace(/[\s,./\-_*^'"`]/gu, "");

function matches(wanted, given) {
  const [name, value] = isObject(wanted) && Object.keys(wanted).length === 1 ? Object.entries(wanted)[0] : ["", null];
  if (name === "$any") return value.some((each) => matches(each, given));
  if (name === "$optional") return matches(value, given);
  if (name === "$regex") return typeof given === "string" && new RegExp(`^(?:${value})$`, "u").test(given);
  if (name === "$text") return typeof given === "string" && bare(value) === bare(given);
  if (name === "$schema") {
    return Number.isInteger(given) && (value.minimum ?? given) <= given && given <= (value.maximum ?? given);
  }
  return same(wanted, given);
}

function argument(key, wanted, given, defaults) {
  if (!(key in wanted)) return key in defaults && same(defaults[key], given[key]);
  if (key in given) return matches(wanted[key], given[key]);
  return (isObject(wanted[key]) && "$optional" in wanted[key]) || (key in defaults && matches(wanted[key], defaults[key]));
}

function call(want, [name, given], tools) {
  if (name !== want.name || !isObject(given)) return false;
  const declared = tools.find((tool) => tool.function.name === name)?.function.parameters?.properties ?? {};
  const defaults = Object.fromEntries(
    Object.entries(declared).filter(([, schema]) => "default" in schema).map(([key, schema]) => [key, schema.default]),
  );
  const keys = new Set([...Object.keys(want.arguments), ...Object.keys(given)]);
  return [...keys].every((key) => argument(key, want.arguments, given, defaults));
}

function orders(list) {
  if (list.length < 2) return [list];
  return list.flatMap((each, i) => orders([...list.slice(0, i), ...list.slice(i + 1)]).map((rest) => [each, ...rest]));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function words(wanted, content) {
  const groups = (wanted.contains ?? []).map((group) => (Array.isArray(group) ? group : [group]));
  const said = groups.every((group) => group.some((word) => content.toLowerCase().includes(word.toLowerCase())));
  return said && new RegExp(wanted.regex ?? "", "u").test(content);
}

function right(row, content, calls) {
  const given = calls.map((each) => [each.function.name, parsed(each.function.arguments)]);
  const wanted = row.expect.calls;
  if (given.length === 0 && !content.trim()) return false;
  if (wanted && wanted.length !== given.length) return false;
  const fits = (order) => wanted.every((want, i) => call(want, order[i], row.tools));
  if (wanted && !orders(given).some(fits)) return false;
  return !row.expect.answer || words(row.expect.answer, content);
}

// `output` is the text, the list of calls, or a whole message where there are both.
module.exports = (output, context) => {
  const row = JSON.parse(context.vars.row);
  const cut = context.providerResponse?.finishReason === "length";
  const calls = Array.isArray(output) ? output : isObject(output) ? (output.tool_calls ?? []) : [];
  const content = typeof output === "string" ? output : isObject(output) ? (output.content ?? "") : "";
  return !cut && right(row, content, calls);
};
