"""What fine-tuning takes on transformers and peft: adapters, gradients, optimizer state, activations, the loss."""
