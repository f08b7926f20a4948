"""The paper's toy example (Figure 2): a 2-D normal, a flow and an ensemble of GANs on it."""
