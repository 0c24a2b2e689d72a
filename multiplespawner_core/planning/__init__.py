"""From what a user asked to what a start needs: the pool of providers and the planner."""
