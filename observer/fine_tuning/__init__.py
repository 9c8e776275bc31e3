"""Fine-tuning: lower the noise gain of a fitted observer, and keep its proof."""
