"""The values that planning takes and returns: plan, policy, context and ownership."""
