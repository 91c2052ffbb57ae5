// @modelcontextprotocol/sdk: the tool over standard input and over streamable HTTP.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const client = new Client({ name: "test", version: "1" });
await client.connect(
  args.url
    ? new StreamableHTTPClientTransport(new URL(args.url), {
        requestInit: { headers: { authorization: `Bearer ${args.key}` } },
      })
    : new StdioClientTransport({ ...args.server, stderr: "ignore" }),
);
const call = (values, options) =>
  client.callTool({ name: "read_documents", arguments: values }, undefined, options);

const documents = Array.from({ length: 300 }, (_, n) => `river ${n} ${"x".repeat(900)}`);

const listed = await client.listTools();
const told = [];
const outcomes = {
  list: () => listed.tools.map((one) => [one.name, one.annotations.readOnlyHint]),
  progress: async () => {
    await call(args.small, { onprogress: (one) => told.push(one.message), resetTimeoutOnProgress: true });
    return told;
  },
  call: () => call(args.small),
  error: () => call({ query: " ", documents: ["a"] }),
  cancelled: async () => {
    const leaving = new AbortController();
    const running = call({ query: "river", documents }, { signal: leaving.signal });
    setTimeout(() => leaving.abort(), 1500);
    const began = await running.then(() => null, () => performance.now());
    await call({ ...args.small, max_tokens: 0 });
    return (performance.now() - began) / 1000;
  },
};
await report(outcomes);
