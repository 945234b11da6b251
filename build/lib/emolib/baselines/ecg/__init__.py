"""ECG (Sinha et al., IJCAI 2022): speech and emotion to landmarks to frames."""
