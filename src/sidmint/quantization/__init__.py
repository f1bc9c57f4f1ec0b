"""Pure quantization: nearest codewords, the residual walk, k-means, gradient estimators.

Everything here takes and gives torch tensors and knows no tokenizer, no file and no setting.
"""
