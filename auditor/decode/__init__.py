"""From captured bytes to packets: link layers, tunnels, IP, TCP and UDP."""
