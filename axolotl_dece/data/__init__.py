"""Where rows come from and how they are written: what poisoning, evaluation, audit and cards stand on."""
