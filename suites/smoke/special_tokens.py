"""Finds special tokens in an answer's text: a broken template, tokenizer or stop token lets them through."""

import re

FAMILIES = (
    r"<\|[^|<>\s]{1,60}\|?>",  # ChatML, Llama 3, Phi, LFM2, gpt-oss, Cohere: <|im_end|>, <|eot_id|>
    r"<｜[^｜<>\s]{1,60}｜>",  # DeepSeek, with full-width bars
    r"</?s>|<(?:bos|eos|pad|unk|mask|cls|sep|eod)>|\[(?:PAD|UNK|CLS|SEP|MASK)\]",  # sentencepiece and BERT vocabularies
    r"<(?:start|end)_of_turn>|<end_of_utterance>|<unused\d+>",  # Gemma, SmolVLM
    r"\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|THINK)\]|<</?SYS>>",  # Llama 2, Mistral
    r"</?(?:think|thinking|tool_call|tool_response|tools)>",  # reasoning and tool syntax that no parser removed
    r"<0x[0-9A-Fa-f]{2}>|[\u0120\u010a\u2581\ufffd]",  # bytes and word marks that were never decoded: <0x0A>, Ġ, Ċ, ▁
    r"(?m:^(?:user|assistant|system)$)|\bim_(?:start|end)",  # a turn that the model started itself
)
SPECIAL = re.compile("|".join(FAMILIES))


def special_tokens(text: str) -> list[str]:
    """Every special token in a text, in order; empty for clean prose."""
    return SPECIAL.findall(text)
