"""What tests stand on: real servers, a proxy before them, certificates, plain clients."""
