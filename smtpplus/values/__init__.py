"""Words everyone uses: frozen values, standard library only."""
