"""Lending: rates, health, liquidation, and a pooled market with Aave v3's rules."""
