"""Every byte a node says, from tables of forms: OpenAI's, Ollama's and Anthropic's."""
