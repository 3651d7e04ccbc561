baseNameOf ../x
