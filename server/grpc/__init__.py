"""The Open Inference Protocol over gRPC: each call becomes a request to the addresses under /v2."""
