"${{ outPath = "p"; }}" + "${{ __toString = self: self.x; x = "q"; }}"
