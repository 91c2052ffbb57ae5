// voyageai: VoyageAIClient.
import { VoyageAIClient } from "voyageai";

const rank = async (more = {}, apiKey = args.key) => {
  const client = new VoyageAIClient({ apiKey, environment: `${args.url}/v1` });
  const request = { model: "m", query: args.query, documents: args.documents, ...more };
  const reply = await client.rerank(request, { maxRetries: more.query === "busy river" ? 0 : 2 });
  return reply.data.map((one) => ({ index: one.index, score: one.relevanceScore }));
};

await report({
  plain: () => rank(),
  top: () => rank({ topK: 2 }),
  evidence: () => rank({ model: "m:evidence" }),
  key: () => rank({}, "other"),
  blank: () => rank({ query: " " }),
  once: () => rank({ query: "busy once voyage node river" }),
  busy: () => rank({ query: "busy river" }),
});
