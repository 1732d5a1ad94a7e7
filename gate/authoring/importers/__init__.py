"""Cases and tools from elsewhere: BFCL's data, xLAM's rows, OpenAI chat files, an MCP server's tools."""
