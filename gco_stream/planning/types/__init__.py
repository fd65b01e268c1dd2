"""Types of planning: inputs, policy, context, decisions, steps and plans, with the ownership checks."""
