"""What a node that serves its model keeps: what is asked, by whom, and how far each answer is."""
