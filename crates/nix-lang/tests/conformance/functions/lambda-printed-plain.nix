[ (x: x) ({ a }: a) map (map (x: x)) ]
