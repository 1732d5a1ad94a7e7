"""A model folder's tokenizer, template and parser, probed once in a child process."""

from __future__ import annotations

from pathlib import Path

from gate.checkpoints.probe_cache import probed
from gate.preflight import golden_conversations
from gate.preflight.artifact import Broken
from gate.system import sandbox
from gate.types import Json

SECONDS, MEMORY = 120.0, 6 * 2**30
MARKERS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>"),
    *("<|end_header_id|>", "<|eom_id|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"),
    *("[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "<tool_call>", "</tool_call>"),
    *("<tool_response>", "</tool_response>", "<|tool_call_start|>", "<|tool_call_end|>"),
    *("<|tool_list_start|>", "<|tool_list_end|>", "<think>", "</think>", "<|channel|>", "<|message|>"),
    *("<|start|>", "<|end|>", "<|return|>", "<|call|>", "<|user|>", "<|assistant|>", "<|system|>"),
)
"""Markers of chat templates that are one token each in the models that use them."""


def probe(folder: Path) -> Json:
    """Facts of a folder (gate/checkpoints/probes/tokenizer.py tells which). Raises Broken when it cannot be loaded."""
    request = {
        "folder": str(folder),
        "conversations": golden_conversations.CONVERSATIONS,
        "calls": golden_conversations.TURNS,
        "tools": golden_conversations.CALL_TOOLS,
        "corpus": golden_conversations.CORPUS,
        "markers": MARKERS,
    }
    try:
        return probed("tokenizer", request, folder, seconds=SECONDS, memory=MEMORY)
    except sandbox.LimitError as error:
        raise Broken(f"the tokenizer of {folder.name} cannot be loaded: {error}") from error
