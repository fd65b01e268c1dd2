"""Types that planning uses: plan, policy and context, with the ownership checks."""
