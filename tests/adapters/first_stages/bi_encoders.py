"""Random bi-encoders in the layouts of published models."""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    JinaEmbeddingsV3Config,
    JinaEmbeddingsV3Model,
)

from prism_cli.modeling.embedded import minilm_path


def tiny_bert(folder: Path, similarity: str = "dot") -> Path:
    """Write a bi-encoder as sentence-transformers does: two layers and a query prompt."""
    torch.manual_seed(5)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_path()).save_pretrained(folder)
    kinds = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kinds}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kinds}.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps(
            {"prompts": {"query": "find this: ", "document": ""}, "similarity_fn_name": similarity}
        )
    )
    return folder


def tiny_jina(folder: Path) -> Path:
    """Write the layout of jina-embeddings-v3-hf: base, tokenizer, and a folder for each adapter."""
    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    torch.manual_seed(0)
    config = JinaEmbeddingsV3Config(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=130, pad_token_id=0,
    )  # fmt: skip
    base = JinaEmbeddingsV3Model(config)
    base.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    lora = LoraConfig(
        r=4, lora_alpha=8, init_lora_weights=False,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "word_embeddings"],
    )  # fmt: skip
    for task in ("retrieval_query", "retrieval_passage"):
        get_peft_model(JinaEmbeddingsV3Model.from_pretrained(folder), lora).save_pretrained(
            folder / task
        )
    return folder
