"""A reaction-diffusion line: the published weights and ours."""
