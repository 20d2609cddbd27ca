"""Small complete programs that use Coatcheck."""
