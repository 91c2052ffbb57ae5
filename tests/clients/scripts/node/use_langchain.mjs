// @langchain/cohere: CohereRerank.
import { CohereRerank } from "@langchain/cohere";
import { CohereClient } from "cohere-ai";

const reranker = (more = {}, token = args.key) =>
  new CohereRerank({ client: new CohereClient({ token, environment: args.url }), model: "m", ...more });
const pages = args.documents.map((pageContent) => ({ pageContent, metadata: {} }));

const rank = async (query = args.query, more = {}, token = args.key) => {
  const replies = await reranker(more, token).rerank(args.documents, query, { topN: more.topN ?? 10 });
  return replies.map((one) => ({ index: one.index, score: one.relevanceScore }));
};

const compress = async (more = {}) => {
  const documents = await reranker(more).compressDocuments(pages, args.query);
  return documents.map((one) => ({
    index: args.documents.indexOf(one.pageContent),
    score: one.metadata.relevanceScore,
    text: one.pageContent,
  }));
};

await report({
  plain: () => rank(),
  top: () => rank(args.query, { topN: 2 }),
  compress: () => compress(),
  evidence: () => rank(args.query, { model: "m:evidence" }),
  key: () => rank(args.query, {}, "other"),
  blank: () => rank(" "),
});
