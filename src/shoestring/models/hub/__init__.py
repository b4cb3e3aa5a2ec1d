"""The Hugging Face hub: what a repository holds, who may read it, its headers by range, its files fetched."""
