"""Battles of StarCraft II, played by the original packages `smac` and `smacv2` in processes of their own."""
