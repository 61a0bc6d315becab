"""What a neuron is worth at a dual point: searched for over cells, bounded over cones."""
