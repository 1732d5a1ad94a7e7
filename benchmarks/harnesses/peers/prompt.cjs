// A prompt function: the messages of a row, as they are. https://www.promptfoo.dev/docs/configuration/prompts/

module.exports = ({ vars }) => JSON.parse(vars.row).messages;
