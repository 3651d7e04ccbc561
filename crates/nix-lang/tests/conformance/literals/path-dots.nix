[ (baseNameOf ./.) ] == [ (baseNameOf (toString ./.)) ]
