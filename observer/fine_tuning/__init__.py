"""Fine-tuning: make a fitted observer good under noise, and keep its proof."""
