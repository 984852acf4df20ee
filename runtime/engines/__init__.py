"""TensorRT engines: their files, the cache that holds them, what may stop them, CUDA."""
