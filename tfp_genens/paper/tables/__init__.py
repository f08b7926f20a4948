"""The paper's tables, and tables of what decides them."""
