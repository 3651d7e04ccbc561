//! From an evaluated cloud to a machine set handed to an agent.
