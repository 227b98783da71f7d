"""Any endpoint that speaks OpenAI's chat completions: OpenAI, Azure OpenAI, Claude's compatible one, vLLM, Ollama."""

from .client import OpenAIModel

__all__ = ["OpenAIModel"]
