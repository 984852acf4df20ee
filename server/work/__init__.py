"""The models, and the photographs that wait for them. Knows no addresses and no forms."""
