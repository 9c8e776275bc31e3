"""System identification: robust recurrent networks against GRU and LSTM of equal size."""
