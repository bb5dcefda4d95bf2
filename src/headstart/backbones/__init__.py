"""Backbones: pretrained networks as ordered stages that can be cut anywhere sound."""
