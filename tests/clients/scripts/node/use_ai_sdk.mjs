// ai with @ai-sdk/cohere and @ai-sdk/togetherai: rerank.
import { createCohere } from "@ai-sdk/cohere";
import { createTogetherAI } from "@ai-sdk/togetherai";
import { rerank } from "ai";

const providers = {
  cohere: (apiKey) => createCohere({ apiKey, baseURL: `${args.url}/v2` }),
  together: (apiKey) => createTogetherAI({ apiKey, baseURL: `${args.url}/v1` }),
};

const rank = async (provider, more = {}, model = "m", apiKey = args.key) => {
  const reply = await rerank({
    model: providers[provider](apiKey).reranking(model),
    query: args.query,
    documents: args.documents,
    maxRetries: 0,
    ...more,
  });
  return reply.ranking.map((one) => ({
    index: one.originalIndex,
    score: one.score,
    text: one.document,
    evidence: reply.response.body.results.find((raw) => raw.index === one.originalIndex).evidence,
  }));
};

const calls = {};
for (const name of Object.keys(providers)) {
  Object.assign(calls, {
    [name]: () => rank(name),
    [`${name} top`]: () => rank(name, { topN: 2 }),
    [`${name} evidence`]: () => rank(name, {}, "m:evidence"),
    [`${name} key`]: () => rank(name, {}, "m", "other"),
    [`${name} blank`]: () => rank(name, { query: " " }),
    [`${name} once`]: () => rank(name, { query: `busy once ai ${name} river`, maxRetries: 2 }),
    [`${name} busy`]: () => rank(name, { query: "busy river" }),
    [`${name} stopping`]: () => rank(name, { query: "stopping river" }),
  });
}
await report(calls);
