"""gate repair: what a model got wrong becomes rows to train it with; gate rounds: how a slot has fared since."""
