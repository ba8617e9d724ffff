"""What runs the networks: OpenVINO, ONNX Runtime or TensorFlow, and the choice between them."""
