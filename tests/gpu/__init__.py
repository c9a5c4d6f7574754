"""A GPU without a GPU: whole products on a pretended CUDA device, and ranks over a pretended NCCL."""
