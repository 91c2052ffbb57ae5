// ai and @ai-sdk/cohere: rerank.
import { createCohere } from "@ai-sdk/cohere";
import { rerank } from "ai";

const rank = async (more = {}, model = "m", apiKey = args.key) => {
  const cohere = createCohere({ apiKey, baseURL: `${args.url}/v2` });
  const reply = await rerank({
    model: cohere.reranking(model),
    query: args.query,
    documents: args.documents,
    ...more,
  });
  return reply.ranking.map((one) => ({
    index: one.originalIndex,
    score: one.score,
    text: one.document,
    evidence: reply.response.body.results.find((raw) => raw.index === one.originalIndex).evidence,
  }));
};

await report({
  plain: () => rank(),
  top: () => rank({ topN: 2 }),
  evidence: () => rank({}, "m:evidence"),
  key: () => rank({ maxRetries: 0 }, "m", "other"),
  blank: () => rank({ query: " " }),
  once: () => rank({ query: "busy once ai river" }),
  busy: () => rank({ query: "busy river", maxRetries: 0 }),
  stopping: () => rank({ query: "stopping river", maxRetries: 0 }),
});
