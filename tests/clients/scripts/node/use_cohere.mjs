// cohere-ai: CohereClient and CohereClientV2.
import { CohereClient, CohereClientV2 } from "cohere-ai";

const EVIDENCE = { additionalBodyParameters: { evidence: true } };

const rank = async (Client, more = {}, options = {}, token = args.key) => {
  const client = new Client({ token, environment: args.url });
  const request = { model: "m", query: args.query, documents: args.documents, ...more };
  const reply = await client.rerank(request, options);
  return reply.results.map((one) => ({
    index: one.index,
    score: one.relevanceScore,
    text: one.document?.text,
    evidence: one.evidence,
  }));
};

await report({
  v1: () => rank(CohereClient),
  "v1 top": () => rank(CohereClient, { topN: 2 }),
  "v1 documents": () => rank(CohereClient, { returnDocuments: true, topN: 2 }),
  "v1 evidence": () => rank(CohereClient, { model: "m:evidence" }),
  v2: () => rank(CohereClientV2),
  "v2 top": () => rank(CohereClientV2, { topN: 2 }),
  "v2 evidence": () => rank(CohereClientV2, { model: "m:evidence" }),
  "v2 key": () => rank(CohereClientV2, {}, {}, "other"),
  "v2 blank": () => rank(CohereClientV2, { query: " " }),
  "v2 once": () => rank(CohereClientV2, { query: "busy once node river" }),
  "v2 busy": () => rank(CohereClientV2, { query: "busy river" }, { maxRetries: 0 }),
  "v2 stopping": () => rank(CohereClientV2, { query: "stopping river" }, { maxRetries: 0 }),
});
