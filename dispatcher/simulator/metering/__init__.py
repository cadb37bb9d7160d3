"""What a request costs: token counts, the prompt cache, money, and the ledger of what was charged."""
