// promptfoo: its openai:chat provider, a test a row, a JavaScript assertion; run by `promptfoo eval -c`.
//
// Concurrency: the default, 4 (docs/usage/command-line, --max-concurrency). Local servers: docs/providers/openai,
// apiBaseUrl; what the provider has no setting for goes through `passthrough`. Replies are not cached (--no-cache),
// retries are off (maxRetries).
//
// REQUESTS, URL, MODEL and SAMPLING of the environment say what to ask; the key is OPENAI_API_KEY.

const fs = require("node:fs");
const path = require("node:path");

const lines = fs.readFileSync(process.env.REQUESTS, "utf-8").trim().split("\n");
const { logprobs, top_logprobs, ...sampling } = JSON.parse(process.env.SAMPLING);
const score = `file://${path.join(__dirname, "scoring.cjs")}`;

module.exports = {
  prompts: [`file://${path.join(__dirname, "prompt.cjs")}`],
  providers: [
    {
      id: `openai:chat:${process.env.MODEL}`,
      config: {
        apiBaseUrl: process.env.URL,
        ...sampling,
        maxRetries: 0,
        passthrough: { logprobs, top_logprobs },
      },
    },
  ],
  tests: lines.map((line) => {
    const { id, tools, max_tokens } = JSON.parse(line);
    return {
      description: id,
      vars: { row: line },
      options: { max_tokens, ...(tools.length > 0 ? { tools } : {}) },
      assert: [{ type: "javascript", value: score }],
    };
  }),
};
