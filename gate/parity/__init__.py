"""Compares the hops of an export on the same prompts: after which hop does a model differ from the trained one?"""
