"""What the machine is: CPU, memory, GPUs, disk and surroundings; what is wrong and how to mend it."""
