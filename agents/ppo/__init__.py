"""Recurrent PPO on real battles: the model-free methods `ippo` and `mappo`."""
