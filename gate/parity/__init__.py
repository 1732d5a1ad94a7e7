"""The hops of one export, asked the same prompts: where does an adapter stop being the model that was trained?"""
