"""Plugins for llmgw: a back-end, a filter, a chat command. llmgw imports only those that a deployment names."""
